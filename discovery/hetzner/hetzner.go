// Package hetzner is the leaf that brings in upstream's discovery of servers of Hetzner Cloud and Robot: who imports it has it.
package hetzner

import _ "github.com/prometheus/prometheus/discovery/hetzner" // registers its sections
