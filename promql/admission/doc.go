// Package admission decides which query may begin: it is the pure state of the
// queries that run and wait, without clock, goroutine or lock.
//
// It owns the order: tenants take turns, and within a tenant who came first
// goes first. It promises that the essential queries, those that alerting
// stands on, have places of their own that no other query takes. Its callers
// serialise the calls, call Leave once for every ticket that was admitted, and
// Cancel for every one that gave up waiting.
//
// Invariants:
//
//   - I1: at most RunningMax ordinary queries run, TenantMax of one tenant, and
//     EssentialMax essential ones.
//   - I2: nobody waits while a place that it may have is free.
//   - I3: at most WaitingMax ordinary queries wait, and as many essential ones.
//     When there are more, the one who came last of the tenant with most waiting
//     is refused: a tenant who floods the queue keeps nobody else out of it.
//   - I4: between two admissions of a tenant every other one that waits, and may
//     run one more, is admitted once.
package admission
