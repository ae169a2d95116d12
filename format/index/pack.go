package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A small index is packed: compressed as a whole, and decompressed into memory
// when it is opened. A block of few series would be a tenth larger otherwise,
// and reading in place saves nothing there.

const (
	// PackedBytesMax is the largest index that is packed: its decompression
	// takes a fraction of a millisecond.
	PackedBytesMax = 256 << 10

	flagPacked      = 1
	packedHeadBytes = 20
)

// Pack returns a whole index compressed, if it is small enough for that and
// becomes smaller; else the index as it is.
func Pack(index []byte, c Compressor) []byte {
	if len(index) > PackedBytesMax {
		return index
	}
	out := append(make([]byte, 0, len(index)/2), headerMagic...)
	out = append(out, Version, flagPacked, 0, 0, 0, 0, 0, 0)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(index)))
	out = c.EncodeAll(index, out)
	binary.LittleEndian.PutUint32(out[12:], packedChecksum(out))
	if len(out) >= len(index) {
		return index
	}
	return out
}

func packedChecksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:])
}

// unpack returns the index that b holds packed; one that is not as it is.
func unpack(b []byte, dec Decompressor) ([]byte, error) {
	if len(b) < packedHeadBytes || string(b[:8]) != headerMagic || b[8] == 0 || b[8] > Version || b[9] != flagPacked {
		return b, nil
	}
	if flags := binary.LittleEndian.Uint16(b[10:]); flags != 0 {
		return nil, &CorruptError{"header", 10, fmt.Sprintf("unknown flags %#x: upgrade this program to read it", flags)}
	}
	if got, want := packedChecksum(b), binary.LittleEndian.Uint32(b[12:]); got != want {
		return nil, &CorruptError{"header", 12, fmt.Sprintf("checksum %08x, computed %08x", want, got)}
	}
	n := binary.LittleEndian.Uint32(b[16:])
	if n > PackedBytesMax {
		return nil, &CorruptError{"header", 16, fmt.Sprintf("%d bytes packed, at most %d are allowed", n, PackedBytesMax)}
	}
	if dec == nil {
		return nil, &CorruptError{"header", 9, "the index is packed, and nothing decompresses it"}
	}
	raw, err := dec.DecodeAll(b[packedHeadBytes:], make([]byte, 0, min(int(n), 64*len(b))))
	if err != nil {
		return nil, &CorruptError{"header", packedHeadBytes, "decompress: " + err.Error()}
	}
	if len(raw) != int(n) {
		return nil, &CorruptError{"header", 16, fmt.Sprintf("%d bytes unpacked, the header says %d", len(raw), n)}
	}
	return raw, nil
}
