package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/nilometer/nilometer/model/tenant"
)

// formatVersion is the newest version of the bytes that this package knows.
const formatVersion = 1

// sizeMax bounds one version in bytes: a million blocks would not fill it, and
// conditional puts of object stores are single puts.
const sizeMax = 1 << 30

// Version is the content of one manifest version object.
type Version struct {
	Tenant tenant.ID `json:"tenant"`
	Shard  uint32    `json:"shard"`
	// Number is the version's number, from 1 on.
	Number uint64 `json:"number"`
	Edit   Edit   `json:"edit"`
	// Snapshot is the whole state after the edit; set when Number is a multiple
	// of SnapshotEvery.
	Snapshot *State `json:"snapshot,omitempty"`
}

// Errors of DecodeVersion that callers branch on.
var (
	// ErrDamaged: the bytes are not what was written.
	ErrDamaged = errors.New("damaged manifest version")
	// ErrFuture: a newer program wrote it.
	ErrFuture = errors.New("manifest version of a newer format: upgrade this program to read it")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendVersion appends the bytes of v to dst.
func AppendVersion(dst []byte, v Version) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		return dst, fmt.Errorf("encode manifest version %d: %w", v.Number, err)
	}
	if body.Len() > sizeMax {
		return dst, fmt.Errorf("encode manifest version %d: it has %d bytes, at most %d are allowed", v.Number, body.Len(), sizeMax)
	}
	dst = fmt.Appendf(dst, "nilometer-manifest %d crc32c=%08x bytes=%d\n",
		formatVersion, crc32.Checksum(body.Bytes(), castagnoli), body.Len())
	return append(dst, body.Bytes()...), nil
}

// DecodeVersion reads the bytes of one version. Errors wrap ErrDamaged or
// ErrFuture.
func DecodeVersion(b []byte) (Version, error) {
	line, _, ok := bytes.Cut(b[:min(len(b), headerMax)], []byte("\n"))
	if !ok {
		return Version{}, fmt.Errorf("%w: no header line in the first %d bytes", ErrDamaged, headerMax)
	}
	body := b[len(line)+1:]
	if err := checkHeader(string(line), body); err != nil {
		return Version{}, err
	}
	var v Version
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return Version{}, fmt.Errorf("%w: offset %d: %w", ErrDamaged, len(line)+1+int(dec.InputOffset()), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Version{}, fmt.Errorf("%w: bytes after the end at offset %d", ErrDamaged, len(line)+1+int(dec.InputOffset()))
	}
	return v, v.validate()
}

// headerMax bounds the header line.
const headerMax = 100

func checkHeader(line string, body []byte) error {
	rest, ok := strings.CutPrefix(line, "nilometer-manifest ")
	if !ok {
		return fmt.Errorf("%w: it does not begin with \"nilometer-manifest\"", ErrDamaged)
	}
	var version, size int
	var sum uint32
	if _, err := fmt.Sscanf(rest, "%d", &version); err != nil || version < 1 {
		return fmt.Errorf("%w: header %q", ErrDamaged, line)
	}
	if version > formatVersion {
		return fmt.Errorf("%w (format %d, known up to %d)", ErrFuture, version, formatVersion)
	}
	if _, err := fmt.Sscanf(rest, "%d crc32c=%x bytes=%d", &version, &sum, &size); err != nil {
		return fmt.Errorf("%w: header %q: %w", ErrDamaged, line, err)
	}
	if size != len(body) {
		return fmt.Errorf("%w: it has %d bytes after the header, which says %d", ErrDamaged, len(body), size)
	}
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return fmt.Errorf("%w: checksum %08x, the header says %08x", ErrDamaged, got, sum)
	}
	return nil
}

// validate checks what the JSON cannot: that a version is numbered and that
// its snapshot is a state (I1).
func (v Version) validate() error {
	if v.Number == 0 {
		return fmt.Errorf("%w: the version has no number", ErrDamaged)
	}
	if v.Snapshot == nil {
		return nil
	}
	for i := 1; i < len(v.Snapshot.Blocks); i++ {
		if compareBlocks(v.Snapshot.Blocks[i-1], v.Snapshot.Blocks[i]) >= 0 {
			return fmt.Errorf("%w: block %d of the snapshot is out of order", ErrDamaged, i)
		}
	}
	for i := 1; i < len(v.Snapshot.Tombstones); i++ {
		if v.Snapshot.Tombstones[i-1].Seq >= v.Snapshot.Tombstones[i].Seq {
			return fmt.Errorf("%w: tombstone %d of the snapshot is out of order", ErrDamaged, i)
		}
	}
	return nil
}
