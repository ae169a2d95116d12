package part

// Hidden is a range of times (ms, both included) of one series that is not to
// be seen: it was deleted, or is older than the series is kept.
type Hidden struct {
	MinTime, MaxTime int64
}
