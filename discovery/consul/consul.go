// Package consul is the leaf that brings in upstream's discovery of services of a Consul catalog: who imports it has it.
package consul

import _ "github.com/prometheus/prometheus/discovery/consul" // registers its sections
