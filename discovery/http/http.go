// Package http is the leaf that brings in upstream's discovery of targets that an HTTP endpoint lists: who imports it has it.
package http

import _ "github.com/prometheus/prometheus/discovery/http" // registers its sections
