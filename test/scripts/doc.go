// Package scripts proves the query engine over the database with Prometheus'
// own PromQL scripts. It has tests only.
package scripts
