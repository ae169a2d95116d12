//go:build !amd64

package column

// unpackLanesAVX2 is for processors that have it.
func unpackLanesAVX2(_ *float64, _ *byte, _, _ int) {}
