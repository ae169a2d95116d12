package column

import (
	"fmt"
	"math"

	"github.com/nilometer/nilometer/model/column"
)

// ChunkValuesMax is the largest number of values of a chunk: one per position
// of a tile.
const ChunkValuesMax = column.TilePositions

// Kind byte of a chunk. Below kindStream the whole byte is the kind; from it on
// the low seven bits are the parts below.
const (
	kindZero    = 0x00
	kindInteger = 0x01
	kindDecimal = 0x02
	kindRaw     = 0x03
	kindStream  = 0x80

	domainMask        = 0x03
	layerMask         = 0x0c
	layerBitmap       = 0x04
	layerGaps         = 0x08
	layerShared       = 0x0c
	flagNonDecreasing = 0x10
	flagSpecials      = 0x20
	flagReference     = 0x40
)

// Domain is the set of integers in which a chunk's values are counted.
type Domain uint8

// The domains. Every value of a chunk that has no place in its domain is one
// of the chunk's specials.
const (
	// Integer: the value itself, of magnitude below 2^63.
	Integer Domain = iota
	// Decimal: k of k/10^e, rounded once.
	Decimal
	// Near: k of k/10^e and a correction in units of the last place. Sums of
	// decimals are found here.
	Near
	// Bits: the value's bits, ordered like the values.
	Bits
)

// String returns the domain's name.
func (d Domain) String() string {
	switch d {
	case Integer:
		return "integer"
	case Decimal:
		return "decimal"
	case Near:
		return "near"
	case Bits:
		return "bits"
	}
	return fmt.Sprintf("domain(%d)", uint8(d))
}

// Info is what the header of a chunk says of its values.
type Info struct {
	// Domain in which the values are counted. Exponent is e of Decimal and
	// Near, else 0.
	Domain   Domain
	Exponent int
	// Constant: all values have the bits of First.
	Constant bool
	// NonDecreasing: no value is smaller than the one before it, and none is a
	// NaN, an infinity or -0. A summary of the encoder: a decoder does not
	// verify it.
	NonDecreasing bool
	// HasSpecials: there are values outside the domain: NaNs, infinities, -0
	// and strays.
	HasSpecials bool
	// Reference: only DecodeRef, with the values of others, decodes it. Terms:
	// its values are differences to others. Positions: it changes where another
	// one does.
	Reference, Terms, Positions bool
	// Ends: First and Last are the first and the last value, bit for bit. Not
	// so with specials.
	Ends        bool
	First, Last float64
}

// Delta returns Last - First, 0 without Ends.
func (i Info) Delta() float64 {
	if !i.Ends {
		return 0
	}
	return i.Last - i.First
}

// header is the parsed front of a chunk: everything before the position layer.
type header struct {
	kind     byte
	domain   Domain
	exp      uint8
	first    int64 // in the domain
	delta    int64 // last - first, in the domain
	ulpFirst int64 // corrections of Near
	ulpLast  int64
}

func (h *header) constant() bool { return h.kind < kindStream }

// refers reports whether the chunk needs others to be decoded.
func (h *header) refers() bool {
	return !h.constant() && (h.kind&flagReference != 0 || h.kind&layerMask == layerShared)
}

// value returns the float64 of k and ulp in the header's domain.
func (h *header) value(k, ulp int64) float64 {
	if h.domain == Bits {
		return fromOrdered(k)
	}
	return math.Float64frombits(math.Float64bits(scale(k, h.exp)) + uint64(ulp))
}

// readHeader reads the header of a chunk of n values.
func (r *reader) readHeader(n int) header {
	if n < 1 || n > ChunkValuesMax {
		r.fail(0, fmt.Sprintf("%d values asked of a chunk, which holds 1 to %d", n, ChunkValuesMax))
		return header{}
	}
	h := header{kind: r.byte()}
	switch {
	case h.kind >= kindStream:
		h.domain = Domain(h.kind & domainMask)
	case h.kind == kindDecimal:
		h.domain = Decimal
	case h.kind == kindRaw:
		h.domain = Bits
	case h.kind > kindRaw:
		r.fail(0, fmt.Sprintf("unknown kind 0x%02x, of a newer version or damaged", h.kind))
	}
	if h.domain == Decimal || h.domain == Near {
		if h.exp = r.byte(); h.exp > decimalExpMax {
			r.fail(r.off-1, "decimal exponent out of range")
			h.exp = 0
		}
	}
	switch {
	case h.kind == kindZero:
	case h.domain == Bits:
		h.first = toOrdered(math.Float64frombits(r.low(8)))
	default:
		h.first = r.varint()
	}
	if h.constant() {
		return h
	}
	h.delta = r.varint()
	if h.domain == Near {
		h.ulpFirst, h.ulpLast = r.varint(), r.varint()
	}
	return h
}

// Inspect returns what the header of a chunk of n values says. It looks at the
// header only: a chunk that it accepts may still fail to decode.
func Inspect(chunk []byte, n int) (Info, error) {
	r := reader{part: "chunk", b: chunk}
	h := r.readHeader(n)
	if r.err != nil {
		return Info{}, r.err
	}
	info := Info{Domain: h.domain, Exponent: int(h.exp), Ends: true}
	info.First = h.value(h.first, h.ulpFirst)
	info.Last = info.First
	if h.constant() {
		info.Constant = true
		info.NonDecreasing = !isSpecial(info.First)
		return info, nil
	}
	info.NonDecreasing = h.kind&flagNonDecreasing != 0
	info.HasSpecials = h.kind&flagSpecials != 0
	info.Reference = h.refers()
	info.Terms, info.Positions = h.kind&flagReference != 0, h.kind&layerMask == layerShared
	if info.HasSpecials {
		info.Ends, info.First, info.Last = false, 0, 0
	} else {
		info.Last = h.value(h.first+h.delta, h.ulpLast)
	}
	return info, nil
}

// Rises reports whether no value of a chunk is smaller than the one before it, as
// far as its first byte can tell: it is constant, or has Info.NonDecreasing. The
// chunk is one that decodes.
func Rises(chunk []byte) bool {
	return len(chunk) > 0 && (chunk[0]&kindStream == 0 || chunk[0]&flagNonDecreasing != 0)
}

// toOrdered maps a value's bits to an integer so that the integers are ordered
// like the values: -0 is -1, 0 is 0.
func toOrdered(v float64) int64 {
	x := int64(math.Float64bits(v))
	return x ^ int64(uint64(x>>63)>>1)
}

func fromOrdered(x int64) float64 {
	return math.Float64frombits(uint64(x ^ int64(uint64(x>>63)>>1)))
}

// isSpecial reports whether v is a NaN, an infinity or -0.
func isSpecial(v float64) bool {
	b := math.Float64bits(v)
	return b&0x7ff0000000000000 == 0x7ff0000000000000 || b == 1<<63
}
