// Package openstack is the leaf that brings in upstream's discovery of instances, hypervisors and load balancers of OpenStack: who imports it has it.
package openstack

import _ "github.com/prometheus/prometheus/discovery/openstack" // registers its sections
