package prometheus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// exportRecordName is the file in the target that says what was exported.
const exportRecordName = "nilometer-export.json"

// exportRecord remembers which ranges are blocks of the target. A range is
// entered before its block gets its name: an entry without its block is one that
// was interrupted.
type exportRecord struct {
	path string
	dir  string

	Export string       `json:"export"`
	Spans  []exportSpan `json:"spans"`
	// Unwanted are blocks that others have replaced.
	Unwanted []string `json:"unwanted,omitempty"`
}

type exportSpan struct {
	From        int64  `json:"from"`
	To          int64  `json:"to"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Block       string `json:"block"`
	Series      uint64 `json:"series"`
	Samples     uint64 `json:"samples"`
}

// openExportRecord reads the record in a directory; that of another export is
// an error, because blocks of both would overlap.
func openExportRecord(dir, export string) (*exportRecord, error) {
	r := &exportRecord{path: filepath.Join(dir, exportRecordName), dir: dir, Export: export}
	content, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of the export: %w", err)
	}
	var old exportRecord
	if err := json.Unmarshal(content, &old); err != nil {
		return nil, fmt.Errorf("read the record of the export: %s: %w: delete that file, and the blocks that an export has left", r.path, err)
	}
	if old.Export != export {
		return nil, fmt.Errorf("it has the blocks of another export (%q, this one is %q): name another directory, or delete %s and those blocks", old.Export, export, r.path)
	}
	r.Spans, r.Unwanted = old.Spans, old.Unwanted
	return r, nil
}

// garbage returns the ids of blocks that are to be deleted: replaced ones, and
// those whose writing was interrupted. These are forgotten.
func (r *exportRecord) garbage() []string {
	out := slices.Clone(r.Unwanted)
	r.Spans = slices.DeleteFunc(r.Spans, func(s exportSpan) bool {
		gone := !r.has(s.Block)
		if gone {
			out = append(out, s.Block)
		}
		return gone
	})
	return out
}

func (r *exportRecord) has(block string) bool {
	_, err := os.Stat(filepath.Join(r.dir, block))
	return err == nil
}

// find returns the record of a range that was exported from the same blocks,
// and is still there.
func (r *exportRecord) find(s span, fingerprint string) (exportSpan, bool) {
	if fingerprint == "" {
		return exportSpan{}, false
	}
	i := slices.IndexFunc(r.Spans, func(o exportSpan) bool {
		return o.From == s.From && o.To == s.To && o.Fingerprint == fingerprint
	})
	if i < 0 {
		return exportSpan{}, false
	}
	return r.Spans[i], true
}

// put enters a range, calls publish, which gives its block the name, and
// deletes the blocks that it replaces: those of ranges that it covers. A range
// without samples has no block: nothing is entered.
func (r *exportRecord) put(s exportSpan, publish func() error) error {
	var rest []exportSpan
	var replaced []string
	for _, o := range r.Spans {
		if o.From >= s.From && o.To <= s.To {
			replaced = append(replaced, o.Block)
		} else {
			rest = append(rest, o)
		}
	}
	if s.Samples == 0 && len(replaced) == 0 {
		return nil
	}
	r.Spans, r.Unwanted = rest, replaced
	if s.Samples > 0 {
		r.Spans = append(r.Spans, s)
	}
	if err := r.write(); err != nil {
		return err
	}
	if s.Samples > 0 {
		if err := publish(); err != nil {
			return err
		}
	}
	for _, id := range replaced {
		if err := removeBlock(r.dir, id); err != nil {
			return err
		}
	}
	r.Unwanted = nil
	return nil
}

func (r *exportRecord) write() error {
	content, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = writeFile(r.path, append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the record of the export: %w", err)
	}
	return nil
}
