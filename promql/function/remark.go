package function

// Remarks are what upstream notes beside a result, as a set: functions have
// neither names nor places in the text, their callers do.
type Remarks uint16

// The remarks. Each stands for one annotation of upstream's.
const (
	// MixedKinds: floats and histograms in one window (a warning).
	MixedKinds Remarks = 1 << iota
	// MixedSchemas: exponential and custom buckets together (a warning).
	MixedSchemas
	// NotCounter: a gauge histogram in a function of counters (a warning).
	NotCounter
	// NotGauge: a counter histogram in a function of gauges (a warning).
	NotGauge
	// OverlappingStarts: a sample starts before the one before it ends (a warning).
	OverlappingStarts
	// ResetCollision: hints of histograms that are added up contradict each
	// other (a warning).
	ResetCollision
	// ReconciledAdd, ReconciledSub and ReconciledSum: custom bounds that differ
	// were reduced to those in common (infos).
	ReconciledAdd
	ReconciledSub
	ReconciledSum
	// HistogramsIgnored: a function of floats had histograms in its window (an
	// info).
	HistogramsIgnored
)

// note adds what when is true.
func (r *Remarks) note(when bool, what Remarks) {
	if when {
		*r |= what
	}
}
