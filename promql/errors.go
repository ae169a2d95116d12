package promql

import (
	"context"
	"errors"
	"fmt"

	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// Errors of a query's end. They are wrapped with where it ended.
var (
	// ErrTimeout: the query did not end within its timeout.
	ErrTimeout = errors.New("query timed out")
	// ErrCanceled: the caller's context was cancelled.
	ErrCanceled = errors.New("query was canceled")
)

// NotSupportedError says that the language has something that the engine
// cannot evaluate yet.
type NotSupportedError = plan.NotSupportedError

// LimitError says that a query went over one of its limits: the answer is 422,
// and 503 where it is Transient.
type LimitError = plan.LimitError

// CheckNesting refuses a text that nests too deep to be parsed in reasonable
// time, with a LimitError. Instant and Range do it by themselves.
func CheckNesting(text string) error { return plan.CheckNesting(text) }

// ExecutionError is a fault of the expression that only its data reveals. Its
// text is upstream's.
type ExecutionError = plan.ExecutionError

// ParseError says that the text of a query, or one of its times, is not
// valid: the caller's fault, bad_data.
type ParseError struct{ Err error }

// Error returns the parser's text.
func (e *ParseError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ParseError) Unwrap() error { return e.Err }

// StorageError is a failure below the engine. It wraps what storage said:
// storage.ErrReplaying is found with errors.Is.
type StorageError struct{ Err error }

// Error returns storage's text.
func (e *StorageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StorageError) Unwrap() error { return e.Err }

// typed sorts an error of a query into the families above. ctx is the query's
// own: its cause tells a timeout from a cancelled caller.
func typed(ctx context.Context, err error) error {
	var (
		limit     *LimitError
		execution *ExecutionError
		missing   *NotSupportedError
		parse     *ParseError
	)
	if err != nil && errors.Is(context.Cause(ctx), ErrKilled) {
		return context.Cause(ctx) // whatever it failed with then
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrReplaying):
		return &StorageError{Err: err}
	case errors.As(err, &limit):
		return limit // which series went over it says nothing
	case errors.As(err, &execution), errors.As(err, &missing), errors.As(err, &parse):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w in query execution", ErrTimeout)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return fmt.Errorf("%w in query execution", ErrTimeout)
		}
		return fmt.Errorf("%w in query execution", ErrCanceled)
	}
	return &StorageError{Err: err}
}

// outcome is the metric's label value for an error made by typed.
func outcome(err error) string {
	var (
		limit     *LimitError
		execution *ExecutionError
		missing   *NotSupportedError
		parse     *ParseError
	)
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, ErrTimeout):
		return outcomeTimeout
	case errors.Is(err, ErrKilled):
		return outcomeKilled
	case errors.Is(err, ErrCanceled):
		return outcomeCanceled
	case errors.As(err, &limit):
		return outcomeLimit
	case errors.As(err, &execution):
		return outcomeExecution
	case errors.As(err, &missing):
		return outcomeNotSupported
	case errors.As(err, &parse):
		return outcomeParse
	}
	return outcomeStorage
}
