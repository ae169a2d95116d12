package function

import (
	"math"
	"time"
)

// Unary returns a function of one number by its PromQL name, nil when there is
// none: the mathematical ones, and those of the calendar, which take seconds
// since the Unix epoch.
func Unary(name string) func(float64) float64 {
	switch name {
	case "abs":
		return math.Abs
	case "ceil":
		return math.Ceil
	case "floor":
		return math.Floor
	case "exp":
		return math.Exp
	case "sqrt":
		return math.Sqrt
	case "ln":
		return math.Log
	case "log2":
		return math.Log2
	case "log10":
		return math.Log10
	case "sin":
		return math.Sin
	case "cos":
		return math.Cos
	case "tan":
		return math.Tan
	case "asin":
		return math.Asin
	case "acos":
		return math.Acos
	case "atan":
		return math.Atan
	case "sinh":
		return math.Sinh
	case "cosh":
		return math.Cosh
	case "tanh":
		return math.Tanh
	case "asinh":
		return math.Asinh
	case "acosh":
		return math.Acosh
	case "atanh":
		return math.Atanh
	case "rad":
		return func(v float64) float64 { return v * math.Pi / 180 }
	case "deg":
		return func(v float64) float64 { return v * 180 / math.Pi }
	case "sgn":
		return sign
	}
	if f := Calendar(name); f != nil {
		return func(v float64) float64 { return f(int64(v)) }
	}
	return nil
}

func sign(v float64) float64 {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return v
}

// Calendar returns a calendar function of seconds since the Unix epoch, in
// UTC, by its PromQL name; nil when there is none.
func Calendar(name string) func(seconds int64) float64 {
	of := func(f func(time.Time) int) func(int64) float64 {
		return func(s int64) float64 { return float64(f(time.Unix(s, 0).UTC())) }
	}
	switch name {
	case "days_in_month":
		return of(func(t time.Time) int {
			return 32 - time.Date(t.Year(), t.Month(), 32, 0, 0, 0, 0, time.UTC).Day()
		})
	case "day_of_month":
		return of(time.Time.Day)
	case "day_of_week":
		return of(func(t time.Time) int { return int(t.Weekday()) })
	case "day_of_year":
		return of(time.Time.YearDay)
	case "hour":
		return of(time.Time.Hour)
	case "minute":
		return of(time.Time.Minute)
	case "month":
		return of(func(t time.Time) int { return int(t.Month()) })
	case "year":
		return of(time.Time.Year)
	}
	return nil
}

// Round rounds v to a multiple of 1/inverse, ties upwards.
func Round(v, inverse float64) float64 {
	return math.Floor(float64(v*inverse)+0.5) / inverse
}
