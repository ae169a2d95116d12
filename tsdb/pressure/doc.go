// Package pressure says how near the process is to its memory limit, and what
// is given up on the way, the least valuable first.
//
// It owns the ladder (Next, a pure function), what counts as memory in use
// (Usage), and the Monitor that looks at both every second and lets the Go
// runtime have what the memory outside of its heap leaves. It acts on nothing
// else: the database asks for the level where it seals, cuts, admits and
// answers.
//
// What new and old have of it: what is known goes on. A known series of a
// scrape is stored at every level.
//
// # Invariants
//
//   - I1: the level rises as soon as usage reaches its threshold, and falls only
//     when usage is slackPercent of the limit below it: what a step frees must
//     not undo the step at once.
//   - I2: garbage is no usage: what the next collection frees refuses nobody.
//   - I3: between two looks no more series come in than there is room for, each
//     counted with all that it may take until then; what is set aside for the
//     work on those that are known is no room.
package pressure
