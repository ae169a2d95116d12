// Package document is the frame of the files that a person can read, too: one
// header line with the kind, version, checksum and length, and a JSON document
// behind it. FORMAT.md draws it; format/manifest and format/backup are such files.
//
// It owns the frame. What the document says, and whether that makes sense, is
// for its owner.
//
// Invariants:
//
//   - I1: what Decode fills is a document as it was written: its checksum and
//     length are those of the header, no key is unknown, nothing stands behind it.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// headerMax bounds the header line, in bytes.
const headerMax = 100

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind is what files of one kind have in common.
type Kind struct {
	// Name is the first word of the header, without blanks.
	Name string
	// Version is the newest version of the document that is known, from 1 on.
	Version int
	// BytesMax bounds the document in bytes.
	BytesMax int
	// ErrDamaged is wrapped by what Decode says about bytes that are not what
	// was written, ErrFuture by what it says about a version above Version.
	ErrDamaged, ErrFuture error
}

// Append appends the header and v as JSON to dst. It fails when JSON cannot say
// v, or not in BytesMax.
func (k Kind) Append(dst []byte, v any) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		return dst, err
	}
	if body.Len() > k.BytesMax {
		return dst, fmt.Errorf("it has %d bytes, at most %d are allowed", body.Len(), k.BytesMax)
	}
	dst = fmt.Appendf(dst, "%s %d crc32c=%08x bytes=%d\n", k.Name, k.Version, crc32.Checksum(body.Bytes(), castagnoli), body.Len())
	return append(dst, body.Bytes()...), nil
}

// Decode checks the header and fills v, a pointer, from the document (I1).
func (k Kind) Decode(b []byte, v any) error {
	line, _, ok := bytes.Cut(b[:min(len(b), headerMax)], []byte("\n"))
	if !ok {
		return fmt.Errorf("%w: no header line in the first %d bytes", k.ErrDamaged, headerMax)
	}
	body := b[len(line)+1:]
	if err := k.check(string(line), body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: offset %d: %w", k.ErrDamaged, len(line)+1+int(dec.InputOffset()), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: bytes after the end at offset %d", k.ErrDamaged, len(line)+1+int(dec.InputOffset()))
	}
	return nil
}

// check holds the body against the header line.
func (k Kind) check(line string, body []byte) error {
	rest, ok := strings.CutPrefix(line, k.Name+" ")
	if !ok {
		return fmt.Errorf("%w: it does not begin with %q", k.ErrDamaged, k.Name)
	}
	var version, size int
	var sum uint32
	if _, err := fmt.Sscanf(rest, "%d", &version); err != nil || version < 1 {
		return fmt.Errorf("%w: header %q", k.ErrDamaged, line)
	}
	if version > k.Version {
		return fmt.Errorf("%w (format %d, known up to %d)", k.ErrFuture, version, k.Version)
	}
	if _, err := fmt.Sscanf(rest, "%d crc32c=%x bytes=%d", &version, &sum, &size); err != nil {
		return fmt.Errorf("%w: header %q: %w", k.ErrDamaged, line, err)
	}
	if size != len(body) {
		return fmt.Errorf("%w: it has %d bytes after the header, which says %d", k.ErrDamaged, len(body), size)
	}
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return fmt.Errorf("%w: checksum %08x, the header says %08x", k.ErrDamaged, got, sum)
	}
	return nil
}
