package prometheus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/oklog/ulid/v2"
)

// importRecord remembers which ranges of a source are imported, so that a repeated
// import does not read them again. It is a file of its own beside the data,
// written after a range is in the database, and believed while the block that it
// names is among the sources of the live ones: what was dropped or restored
// since is imported again. Losing it costs time only (I3).
type importRecord struct {
	path string

	Source string       `json:"source"`
	Tenant string       `json:"tenant"`
	Spans  []recordSpan `json:"spans"`
}

// recordSpan is one imported range. Fingerprint names the blocks that it was
// read from, Block the one that was made of it.
type recordSpan struct {
	From        int64  `json:"from"`
	To          int64  `json:"to"`
	Fingerprint string `json:"fingerprint"`
	Block       string `json:"block"`
	Series      uint64 `json:"series"`
	Samples     uint64 `json:"samples"`
}

// openRecord reads the record of a source and tenant in dir. One that is not
// there or cannot be understood is empty.
func openRecord(dir, source, tenant string) (*importRecord, error) {
	abs, err := filepath.Abs(source)
	if err != nil {
		return nil, fmt.Errorf("read the record of the import: %w", err)
	}
	sum := sha256.Sum256([]byte(tenant + "\x00" + abs))
	r := &importRecord{path: filepath.Join(dir, "prometheus-"+hex.EncodeToString(sum[:8])+".json"), Source: abs, Tenant: tenant}
	content, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of the import: %w", err)
	}
	var old importRecord
	if json.Unmarshal(content, &old) == nil && old.Source == r.Source && old.Tenant == r.Tenant {
		r.Spans = old.Spans
	}
	return r, nil
}

// find returns the record of a range that was read from the same blocks, and
// whose block went into one of those that live is of.
func (r *importRecord) find(s span, fingerprint string, live map[ulid.ULID]bool) (recordSpan, bool) {
	if fingerprint == "" {
		return recordSpan{}, false
	}
	i := slices.IndexFunc(r.Spans, func(o recordSpan) bool {
		id, err := ulid.ParseStrict(o.Block)
		return err == nil && live[id] && o.From == s.From && o.To == s.To && o.Fingerprint == fingerprint
	})
	if i < 0 {
		return recordSpan{}, false
	}
	return r.Spans[i], true
}

// add notes a range and makes the record durable.
func (r *importRecord) add(s recordSpan) error {
	r.Spans = slices.DeleteFunc(r.Spans, func(o recordSpan) bool { return o.From == s.From && o.To == s.To })
	r.Spans = append(r.Spans, s)
	content, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = writeFile(r.path, append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the record of the import: %w", err)
	}
	return nil
}

// writeFile replaces a file, whole and durable or not at all.
func writeFile(path string, content []byte) error {
	temporary := path + ".new"
	f, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
