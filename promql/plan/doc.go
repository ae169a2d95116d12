// Package plan turns a parsed PromQL expression into a logical plan, and
// improves it.
//
// It is pure: no clock, storage, goroutine. The plan says what is to be
// computed and at which times; promql/exec says how.
package plan
