package function

// RangeFunc is a function of the samples in a window.
type RangeFunc struct {
	// SamplesMin is the number of samples that a window needs for a result.
	SamplesMin int32
	// KeepsName: the result is one of the samples, under the series' own name.
	KeepsName bool
	// Counter: the function takes its input for a counter's.
	Counter bool
	// Resets: Samples.Resets must be set.
	Resets bool
	// TimesOnly: the result does not depend on values.
	TimesOnly bool
	// Prepare computes what depends on the windows alone. It may be nil, and is
	// called once per time column.
	Prepare func(w *Windows)
	// Kernel writes the results of the steps [from, to) to dst, which has
	// to-from elements. params are the function's scalar arguments, one value a
	// step each, in order.
	Kernel func(dst []float64, s *Samples, w *Windows, params [][]float64, sc *Scratch, from, to int)
	// Kinds: which steps have a result depends on the kinds of samples in a
	// window, too. Otherwise I2 of the package holds.
	Kinds bool
	// Span is the function of windows with a histogram in them, and of whatever
	// the kernel does not know: anchored and smoothed ranges, start timestamps.
	// nil: histograms in a window are ignored, with a remark.
	Span SpanFunc
	// Check reports why the parameters are not valid at a step at which some
	// series has a sample; nil accepts all.
	Check func(params [][]float64, step int) error
}

// Presence returns f with 1 as the result of every step that has one. Of
// functions with Kinds that holds for series of floats alone.
func (f RangeFunc) Presence() RangeFunc {
	f.TimesOnly, f.Resets, f.Prepare, f.Kernel = true, false, nil, one
	return f
}

// Scratch is memory that kernels reuse. One goroutine uses it at a time.
type Scratch struct {
	values []float64
	counts []int32
}

// IsRange reports whether Range knows the function.
func IsRange(name string) bool {
	_, ok := Range(name)
	return ok
}

// Range returns a range function by its PromQL name.
func Range(name string) (RangeFunc, bool) {
	f := RangeFunc{SamplesMin: 1, Kinds: true}
	switch name {
	case "rate":
		f = RangeFunc{SamplesMin: 2, Counter: true, Resets: true, Prepare: prepareRate, Kernel: counterRate, Kinds: true}
		f.Span = rateKind{counter: true, perSecond: true}.span
	case "increase":
		f = RangeFunc{SamplesMin: 2, Counter: true, Resets: true, Prepare: prepareIncrease, Kernel: counterRate, Kinds: true}
		f.Span = rateKind{counter: true}.span
	case "delta":
		f = RangeFunc{SamplesMin: 2, Prepare: prepareIncrease, Kernel: delta, Kinds: true, Span: rateKind{}.span}
	case "irate":
		f.SamplesMin, f.Kernel, f.Span = 2, instantRate, lastChange(true)
	case "idelta":
		f.SamplesMin, f.Kernel, f.Span = 2, instantDelta, lastChange(false)
	case "deriv":
		f.SamplesMin, f.Kernel = 2, derivative
	case "predict_linear":
		f.SamplesMin, f.Kernel = 2, predictLinear
	case "double_exponential_smoothing":
		f.SamplesMin, f.Kernel, f.Check = 2, smooth, checkSmooth
	case "resets":
		f.Resets, f.Kernel, f.Span, f.Kinds = true, countResets, resetsOfSpan, false
	case "changes":
		f.Kernel, f.Span, f.Kinds = countChanges, changesOfSpan, false
	case "sum_over_time":
		f.Kernel, f.Span = sumOverTime, sumOfSpan
	case "avg_over_time":
		f.Kernel, f.Span = meanOverTime, meanOfSpan
	case "min_over_time":
		f.Kernel = minOverTime
	case "max_over_time":
		f.Kernel = maxOverTime
	case "ts_of_min_over_time":
		f.Kernel = timeOfExtreme(func(v, best float64) bool { return v <= best })
	case "ts_of_max_over_time":
		f.Kernel = timeOfExtreme(func(v, best float64) bool { return v >= best })
	case "stddev_over_time":
		f.Kernel = variances(deviation)
	case "stdvar_over_time":
		f.Kernel = variances(itself)
	case "count_over_time":
		f.TimesOnly, f.Kernel, f.Kinds = true, countOverTime, false
	case "present_over_time", "absent_over_time":
		f.TimesOnly, f.Kernel, f.Kinds = true, one, false
	case "first_over_time":
		f.KeepsName, f.Kernel, f.Span, f.Kinds = true, first, firstOfSpan, false
	case "last_over_time":
		f.KeepsName, f.Kernel, f.Span, f.Kinds = true, Last, LastOfSpan, false
	case "ts_of_first_over_time":
		f.TimesOnly, f.Kernel, f.Kinds = true, timeOfFirst, false
	case "ts_of_last_over_time":
		f.TimesOnly, f.Kernel, f.Kinds = true, TimeOfLast, false
	case "quantile_over_time":
		f.Kernel = quantileOverTime
	case "mad_over_time":
		f.Kernel = medianDeviation
	default:
		return RangeFunc{}, false
	}
	return f, true
}
