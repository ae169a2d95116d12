// Package linode is the leaf that brings in upstream's discovery of instances of Linode: who imports it has it.
package linode

import _ "github.com/prometheus/prometheus/discovery/linode" // registers its sections
