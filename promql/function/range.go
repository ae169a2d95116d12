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
	// Check reports why the parameters are not valid at a step at which some
	// series has a sample; nil accepts all.
	Check func(params [][]float64, step int) error
}

// Presence returns f with 1 as the result of every step that has one.
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
	f := RangeFunc{SamplesMin: 1}
	switch name {
	case "rate":
		f = RangeFunc{SamplesMin: 2, Counter: true, Resets: true, Prepare: prepareRate, Kernel: counterRate}
	case "increase":
		f = RangeFunc{SamplesMin: 2, Counter: true, Resets: true, Prepare: prepareIncrease, Kernel: counterRate}
	case "delta":
		f = RangeFunc{SamplesMin: 2, Prepare: prepareIncrease, Kernel: delta}
	case "irate":
		f.SamplesMin, f.Kernel = 2, instantRate
	case "idelta":
		f.SamplesMin, f.Kernel = 2, instantDelta
	case "deriv":
		f.SamplesMin, f.Kernel = 2, derivative
	case "predict_linear":
		f.SamplesMin, f.Kernel = 2, predictLinear
	case "double_exponential_smoothing":
		f.SamplesMin, f.Kernel, f.Check = 2, smooth, checkSmooth
	case "resets":
		f.Resets, f.Kernel = true, countResets
	case "changes":
		f.Kernel = countChanges
	case "sum_over_time":
		f.Kernel = sumOverTime
	case "avg_over_time":
		f.Kernel = meanOverTime
	case "min_over_time":
		f.Kernel = minOverTime
	case "max_over_time":
		f.Kernel = maxOverTime
	case "ts_of_min_over_time":
		f.Kernel = timeOfExtreme(func(v, best float64) bool { return v <= best })
	case "ts_of_max_over_time":
		f.Kernel = timeOfExtreme(func(v, best float64) bool { return v >= best })
	case "stddev_over_time":
		f.Kernel = overTime(deviation)
	case "stdvar_over_time":
		f.Kernel = overTime(variance)
	case "count_over_time":
		f.TimesOnly, f.Kernel = true, countOverTime
	case "present_over_time", "absent_over_time":
		f.TimesOnly, f.Kernel = true, one
	case "first_over_time":
		f.KeepsName, f.Kernel = true, first
	case "last_over_time":
		f.KeepsName, f.Kernel = true, Last
	case "ts_of_first_over_time":
		f.TimesOnly, f.Kernel = true, timeOfFirst
	case "ts_of_last_over_time":
		f.TimesOnly, f.Kernel = true, TimeOfLast
	case "quantile_over_time":
		f.Kernel = quantileOverTime
	case "mad_over_time":
		f.Kernel = medianDeviation
	default:
		return RangeFunc{}, false
	}
	return f, true
}
