package record

import "encoding/binary"

// stripeCount is how many stripes a payload is taken apart into: records
// without the values of batches, and the slots, codes and operands of these.
// Slots repeat from batch to batch, codes do somewhat and are few, operands
// hardly ever: each compresses better alone.
const stripeCount = 4

// stripes is a payload in stripes. All in the first one: as it is.
type stripes [stripeCount][]byte

// stripeSizes reads the sizes of a batch's stripes.
func (r *reader) stripeSizes() (sizes [stripeCount - 1]int) {
	for i := range sizes {
		n := r.uvarint()
		if n > FrameMax {
			r.fail("bad size of a stripe")
			return [stripeCount - 1]int{}
		}
		sizes[i] = int(n)
	}
	return sizes
}

// stripesOf reads the sizes of the stripes at the end of a record's body of n
// bytes, of which only the front is there. Records other than batches have none.
func stripesOf(t Type, front []byte, n int) (sizes [stripeCount - 1]int, sum int, ok bool) {
	if t != TypeBatch {
		return sizes, 0, true
	}
	r := reader{data: front}
	r.uvarint() // group, number, time, flags
	r.uvarint()
	r.varint()
	r.byte()
	sizes = r.stripeSizes()
	sum = sizes[0] + sizes[1] + sizes[2]
	return sizes, sum, r.err == nil && sum <= n-r.pos
}

// split takes a payload apart. What is no list of records stays as it is.
func (c *stripes) split(payload []byte) {
	for i := range c {
		c[i] = c[i][:0]
	}
	for at := 0; at < len(payload); {
		t, front, n, ok := recordAt(payload[at:])
		sizes, sum, known := stripesOf(t, payload[at+front:min(len(payload), at+front+n)], n)
		if !ok || !known || n > len(payload)-at-front {
			c[0] = append(c[0][:0], payload...)
			c[1], c[2], c[3] = c[1][:0], c[2][:0], c[3][:0]
			return
		}
		end := at + front + n
		from := end - sum
		c[0] = append(c[0], payload[at:from]...)
		for i, size := range sizes {
			c[i+1] = append(c[i+1], payload[from:from+size]...)
			from += size
		}
		at = end
	}
}

// recordAt reads type and length of the body of the record at the front of data,
// which is no empty slice, and where the body begins.
func recordAt(data []byte) (t Type, front, n int, ok bool) {
	size, length := binary.Uvarint(data[1:])
	if length <= 0 || size > FrameMax {
		return 0, 1, 0, false
	}
	return Type(data[0]), 1 + length, int(size), true
}

// join appends the payload that split has taken apart to dst.
func (c *stripes) join(dst []byte) ([]byte, error) {
	rest := *c
	if len(rest[1])+len(rest[2])+len(rest[3]) == 0 {
		return append(dst, rest[0]...), nil
	}
	for len(rest[0]) > 0 {
		t, front, n, ok := recordAt(rest[0])
		sizes, sum, known := stripesOf(t, rest[0][front:], n)
		main := front + n - sum
		if !ok || !known || main > len(rest[0]) {
			return nil, &CorruptError{"a record that does not fit its stripes", HeaderSize}
		}
		dst = append(dst, rest[0][:main]...)
		rest[0] = rest[0][main:]
		for i, size := range sizes {
			if size > len(rest[i+1]) {
				return nil, &CorruptError{"a stripe that is too short", HeaderSize}
			}
			dst = append(dst, rest[i+1][:size]...)
			rest[i+1] = rest[i+1][size:]
		}
	}
	if len(rest[1])+len(rest[2])+len(rest[3]) > 0 {
		return nil, &CorruptError{"a stripe that is too long", HeaderSize}
	}
	return dst, nil
}
