// Package nomad is the leaf that brings in upstream's discovery of services of Nomad: who imports it has it.
package nomad

import _ "github.com/prometheus/prometheus/discovery/nomad" // registers its sections
