// Package scaleway is the leaf that brings in upstream's discovery of instances and bare metal of Scaleway: who imports it has it.
package scaleway

import _ "github.com/prometheus/prometheus/discovery/scaleway" // registers its sections
