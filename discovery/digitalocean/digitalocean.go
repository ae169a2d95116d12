// Package digitalocean is the leaf that brings in upstream's discovery of droplets of DigitalOcean: who imports it has it.
package digitalocean

import _ "github.com/prometheus/prometheus/discovery/digitalocean" // registers its sections
