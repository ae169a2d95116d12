//go:build !linux

package pressure

// anonymous is not known here: what was allotted counts.
func anonymous() int64 { return 0 }
