// Package moby is the leaf that brings in upstream's discovery of containers and Swarm of Docker: who imports it has it.
package moby

import _ "github.com/prometheus/prometheus/discovery/moby" // registers its sections
