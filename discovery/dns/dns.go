// Package dns is the leaf that brings in upstream's discovery of targets in DNS records: who imports it has it.
package dns

import _ "github.com/prometheus/prometheus/discovery/dns" // registers its sections
