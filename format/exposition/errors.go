package exposition

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// lineShownMax bounds the part of an offending line that an error shows, bytes.
const lineShownMax = 120

// ParseError says where a body is no exposition, and why.
type ParseError struct {
	// Line counts from 1, 0 in protobuf; Offset is of the fault, in bytes from
	// the start of the body.
	Line, Offset int
	// Text is the offending line, in protobuf the metric family's name,
	// shortened.
	Text   string
	Reason string
}

// Error names the line, what is wrong and the line's text; in protobuf the
// offset and the metric family.
func (e *ParseError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("byte %d: %s, in metric family %q", e.Offset, e.Reason, e.Text)
	}
	return fmt.Sprintf("line %d: %s: %q", e.Line, e.Reason, e.Text)
}

// newParseError locates the fault at offset in body.
func newParseError(body []byte, offset int, reason string) *ParseError {
	offset = min(offset, len(body))
	start := bytes.LastIndexByte(body[:offset], '\n') + 1
	line := body[start:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	return &ParseError{
		Line:   bytes.Count(body[:start], []byte{'\n'}) + 1,
		Offset: offset,
		Text:   Shorten(line),
		Reason: reason,
	}
}

// Shorten returns text, cut to what an error shows and with "…" then, never
// inside a UTF-8 sequence.
func Shorten(text []byte) string {
	if len(text) <= lineShownMax {
		return string(text)
	}
	cut := lineShownMax
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return string(text[:cut]) + "…"
}
