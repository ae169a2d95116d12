package manifest

import (
	"errors"
	"fmt"

	"github.com/nilometer/nilometer/format/document"
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

// kind is the frame of a version.
func kind() document.Kind {
	return document.Kind{Name: "nilometer-manifest", Version: formatVersion, BytesMax: sizeMax, ErrDamaged: ErrDamaged, ErrFuture: ErrFuture}
}

// AppendVersion appends the bytes of v to dst.
func AppendVersion(dst []byte, v Version) ([]byte, error) {
	dst, err := kind().Append(dst, v)
	if err != nil {
		return dst, fmt.Errorf("encode manifest version %d: %w", v.Number, err)
	}
	return dst, nil
}

// DecodeVersion reads the bytes of one version. Errors wrap ErrDamaged or
// ErrFuture.
func DecodeVersion(b []byte) (Version, error) {
	var v Version
	if err := kind().Decode(b, &v); err != nil {
		return Version{}, err
	}
	return v, v.validate()
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
