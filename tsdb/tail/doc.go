// Package tail turns the records of a log back into samples: what every series
// of a batch had at its time, those included that the batch does not mention
// because nothing changed.
//
// It is pure: payloads of the log come in, batches with label sets go out.
// Where they come from, and from where on they are wanted, is the caller's.
//
// State owns what it is told of the groups of one tenant: label sets, last
// values and presence of their members, about 300 bytes a series. It begins at
// the beginning of a segment, where every group is introduced by its base.
//
// Invariants:
//
//   - I1: a batch is handed out once, however often it stands in the log. Late
//     samples that stand there twice, after a failed sync, come twice.
//   - I2: a group of which a record is missing says nothing until its next base,
//     and is counted.
package tail
