// Package rules evaluates recording and alerting rules: each group at its own
// times, its rules one after the other, results to storage, alerts to a
// Notifier.
//
// It owns the state of alerts. What an evaluation does to it is a pure function
// (Step); the group around it has the clock, the engine and the database.
//
// Invariants:
//
//   - I1: a rule is never evaluated on a part of the data: while the store is
//     replaying, the evaluation waits, and what was missed is made up with its
//     own timestamps, in order, up to madeUpMax of them.
//   - I2: the state of an alert survives a restart: it is kept in the metadata
//     database by compare-and-swap on its version. Evaluation never waits for
//     the database: what could not be saved is saved after a later evaluation.
//   - I3: a group's evaluations do not overlap, and their timestamps increase.
//   - I4: Apply changes nothing of a group whose definition did not change; a
//     changed group takes over the alerts of rules with equal name and labels.
package rules
