// Package nilometer is the root of the module: it has no code. Its tests hold
// the architecture (layers_test.go) and the house rules (tidy_test.go).
//
// The program is cmd/nilometer; ARCHITECTURE.md is the map.
package nilometer
