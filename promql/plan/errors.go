package plan

import (
	"fmt"
)

// NotSupportedError says that the language has something that the engine
// cannot evaluate yet.
type NotSupportedError struct {
	// What names it, as a noun phrase.
	What string
}

// Error names what is missing.
func (e *NotSupportedError) Error() string { return e.What + " is not supported yet" }

// LimitError says that a query went over one of its limits.
type LimitError struct {
	// Limit names what is bounded, with its unit: "samples in memory".
	Limit string
	// Max is the limit, Seen what would have been needed at the time of the
	// refusal (a lower bound of what the whole query needs).
	Max, Seen int64
	// Where names the operator that asked.
	Where string
	// Remedy says what the caller can do.
	Remedy string
	// Transient says that other queries are in the way: the same query may pass
	// later.
	Transient bool
	// Estimate says that Seen is what the query is expected to need: it was
	// refused before it read anything.
	Estimate bool
}

// Error names limit, value, what was seen, and the way out.
func (e *LimitError) Error() string {
	if e.Estimate {
		return fmt.Sprintf("query exceeds the limit of %d %s: it is expected to need about %d, and was not begun: %s", e.Max, e.Limit, e.Seen, e.Remedy)
	}
	return fmt.Sprintf("query exceeds the limit of %d %s in %s (needs at least %d): %s", e.Max, e.Limit, e.Where, e.Seen, e.Remedy)
}

// ExecutionError is a fault of the expression that only its data reveals, such
// as a many-to-many match. Its text is upstream's.
type ExecutionError struct {
	Text string
}

// Error returns the text.
func (e *ExecutionError) Error() string { return e.Text }

// Errorf returns an ExecutionError.
func Errorf(format string, args ...any) error {
	return &ExecutionError{Text: fmt.Sprintf(format, args...)}
}
