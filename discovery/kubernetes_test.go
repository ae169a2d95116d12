//go:build all_sd

package discovery_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/nilometer/nilometer/discovery"
)

// object is one of the API's objects as JSON has it.
type object = map[string]any

// cluster answers as the API server of Kubernetes does: lists, and watches that
// go on from a resource version. It keeps all that has ever happened.
type cluster struct {
	server *httptest.Server

	mu      sync.Mutex // guards what follows
	objects map[string][]object
	events  []event
	changed chan struct{} // closed at the next change
}

type event struct {
	version    int
	collection string
	change     object
}

// collections are paths of the API and what lies there.
var collections = map[string]struct{ version, kind string }{
	"/api/v1/nodes":     {"v1", "Node"},
	"/api/v1/pods":      {"v1", "Pod"},
	"/api/v1/services":  {"v1", "Service"},
	"/api/v1/endpoints": {"v1", "Endpoints"},
	"/apis/discovery.k8s.io/v1/endpointslices": {"discovery.k8s.io/v1", "EndpointSlice"},
	"/apis/networking.k8s.io/v1/ingresses":     {"networking.k8s.io/v1", "Ingress"},
}

func newCluster(t *testing.T) (*cluster, string) {
	c := &cluster{objects: map[string][]object{}, changed: make(chan struct{})}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	t.Cleanup(c.server.CloseClientConnections)
	return c, c.server.URL
}

// put makes an object be there, in the namespace shop; rest are its other parts.
func (c *cluster) put(collection, name string, meta, rest object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := collections[collection]
	o := object{"apiVersion": kind.version, "kind": kind.kind}
	for k, v := range rest {
		o[k] = v
	}
	m := object{"name": name, "uid": "uid-" + name}
	if kind.kind != "Node" {
		m["namespace"] = "shop"
	}
	for k, v := range meta {
		m[k] = v
	}
	o["metadata"] = m
	change := "ADDED"
	if i := c.indexLocked(collection, name); i >= 0 {
		change = "MODIFIED"
		c.objects[collection] = slices.Delete(c.objects[collection], i, i+1)
	}
	c.objects[collection] = append(c.objects[collection], o)
	c.noteLocked(collection, change, o)
}

func (c *cluster) remove(collection, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.indexLocked(collection, name)
	o := c.objects[collection][i]
	c.objects[collection] = slices.Delete(c.objects[collection], i, i+1)
	c.noteLocked(collection, "DELETED", o)
}

func (c *cluster) indexLocked(collection, name string) int {
	return slices.IndexFunc(c.objects[collection], func(o object) bool { return o["metadata"].(object)["name"] == name })
}

func (c *cluster) noteLocked(collection, change string, o object) {
	version := len(c.events) + 1
	meta := object{}
	for k, v := range o["metadata"].(object) {
		meta[k] = v
	}
	meta["resourceVersion"] = strconv.Itoa(version)
	with := object{}
	for k, v := range o {
		with[k] = v
	}
	with["metadata"] = meta
	if i := c.indexLocked(collection, meta["name"].(string)); i >= 0 {
		c.objects[collection][i] = with
	}
	c.events = append(c.events, event{version, collection, object{"type": change, "object": with}})
	close(c.changed)
	c.changed = make(chan struct{})
}

// ServeHTTP implements http.Handler.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, ok := collections[r.URL.Path]
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
		return
	}
	if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
		c.watch(w, r, kind.version, kind.kind)
		return
	}
	c.mu.Lock()
	items := slices.Clone(c.objects[r.URL.Path])
	list := object{
		"apiVersion": kind.version, "kind": kind.kind + "List", "items": append([]object{}, items...),
		"metadata": object{"resourceVersion": strconv.Itoa(len(c.events))},
	}
	c.mu.Unlock()
	_ = json.NewEncoder(w).Encode(list)
}

// watch sends what happens after a version; what is there already before that,
// where it is asked for (a list by watching).
func (c *cluster) watch(w http.ResponseWriter, r *http.Request, apiVersion, kind string) {
	q := r.URL.Query()
	version, _ := strconv.Atoi(q.Get("resourceVersion"))
	out := json.NewEncoder(w)
	if q.Get("sendInitialEvents") == "true" {
		c.mu.Lock()
		version = len(c.events)
		items := slices.Clone(c.objects[r.URL.Path])
		c.mu.Unlock()
		for _, o := range items {
			_ = out.Encode(object{"type": "ADDED", "object": o})
		}
		_ = out.Encode(object{"type": "BOOKMARK", "object": object{"apiVersion": apiVersion, "kind": kind, "metadata": object{
			"resourceVersion": strconv.Itoa(version), "annotations": object{"k8s.io/initial-events-end": "true"},
		}}})
	}
	for {
		c.mu.Lock()
		events, changed := c.events[version:], c.changed
		version = len(c.events)
		c.mu.Unlock()
		for _, e := range events {
			if e.collection == r.URL.Path {
				_ = out.Encode(e.change)
			}
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func pod(ip, phase string) object {
	return object{
		"spec": object{"nodeName": "n1", "containers": []any{object{
			"name": "web", "image": "web:1", "ports": []any{object{"name": "metrics", "containerPort": 9100, "protocol": "TCP"}},
		}}},
		"status": object{"phase": phase, "podIP": ip, "hostIP": "10.0.0.1", "conditions": []any{object{"type": "Ready", "status": "True"}}},
	}
}

// value is that of a label of the target with an address, its group's included.
func value(t *testing.T, m *discovery.Manager, address, name string) string {
	t.Helper()
	for _, g := range m.Groups()["a"] {
		for _, target := range g.Targets {
			if target.Get("__address__") == address {
				return cmp.Or(target.Get(name), g.Labels.Get(name))
			}
		}
	}
	t.Errorf("there is no target %s", address)
	return ""
}

// TestKubernetesRoles finds what is in a cluster in each of the roles.
func TestKubernetesRoles(t *testing.T) {
	c, url := newCluster(t)
	c.put("/api/v1/nodes", "n1", object{"labels": object{"zone": "a"}}, object{"status": object{
		"addresses":       []any{object{"type": "InternalIP", "address": "10.0.0.1"}},
		"daemonEndpoints": object{"kubeletEndpoint": object{"Port": 10250}},
	}})
	c.put("/api/v1/pods", "web-1", object{"labels": object{"app": "web"}}, pod("10.1.0.1", "Running"))
	c.put("/api/v1/services", "web", object{"annotations": object{"team": "x"}}, object{"spec": object{
		"type": "ClusterIP", "clusterIP": "10.2.0.1", "ports": []any{object{"name": "http", "port": 80, "protocol": "TCP"}},
	}})
	reference := object{"kind": "Pod", "name": "web-1", "namespace": "shop"}
	c.put("/api/v1/endpoints", "web", nil, object{"subsets": []any{object{
		"addresses": []any{object{"ip": "10.1.0.1", "targetRef": reference}}, "ports": []any{object{"name": "metrics", "port": 9100, "protocol": "TCP"}},
	}}})
	c.put("/apis/discovery.k8s.io/v1/endpointslices", "web-abc", object{"labels": object{"kubernetes.io/service-name": "web"}}, object{
		"addressType": "IPv4", "ports": []any{object{"name": "metrics", "port": 9100, "protocol": "TCP"}},
		"endpoints": []any{object{"addresses": []any{"10.1.0.1"}, "conditions": object{"ready": true}, "targetRef": reference}},
	})
	c.put("/apis/networking.k8s.io/v1/ingresses", "front", nil, object{"spec": object{"rules": []any{object{
		"host": "shop.example.org", "http": object{"paths": []any{object{"path": "/cart", "pathType": "Prefix", "backend": object{
			"service": object{"name": "web", "port": object{"number": 80}},
		}}}},
	}}}})
	for _, role := range []struct{ name, address, label, value string }{
		{"node", "10.0.0.1:10250", "__meta_kubernetes_node_label_zone", "a"},
		{"pod", "10.1.0.1:9100", "__meta_kubernetes_pod_label_app", "web"},
		{"service", "web.shop.svc:80", "__meta_kubernetes_service_annotation_team", "x"},
		{"endpoints", "10.1.0.1:9100", "__meta_kubernetes_pod_name", "web-1"},
		{"endpointslice", "10.1.0.1:9100", "__meta_kubernetes_service_name", "web"},
		{"ingress", "shop.example.org", "__meta_kubernetes_ingress_path", "/cart"},
	} {
		t.Run(role.name, func(t *testing.T) {
			m := start(t)
			apply(t, m, "kubernetes_sd_configs", "role: "+role.name+"\napi_server: "+url)
			eventually(t, role.address, func() bool { return addresses(m) == role.address })
			// What else the role reads comes a moment later.
			eventually(t, role.label, func() bool { return value(t, m, role.address, role.label) == role.value })
		})
	}
}

// TestKubernetesChurn: pods come, change and go; a cut connection loses nothing.
func TestKubernetesChurn(t *testing.T) {
	c, url := newCluster(t)
	const pods = "/api/v1/pods"
	c.put(pods, "web-1", nil, pod("10.1.0.1", "Running"))
	m := start(t)
	apply(t, m, "kubernetes_sd_configs", "role: pod\napi_server: "+url+"\nnamespaces: {names: []}")
	eventually(t, "the first pod", func() bool { return addresses(m) == "10.1.0.1:9100" })
	c.put(pods, "web-2", nil, pod("10.1.0.2", "Pending"))
	eventually(t, "a new pod", func() bool { return addresses(m) == "10.1.0.1:9100 10.1.0.2:9100" })
	c.put(pods, "web-2", nil, pod("10.1.0.2", "Running"))
	eventually(t, "its new phase", func() bool { return value(t, m, "10.1.0.2:9100", "__meta_kubernetes_pod_phase") == "Running" })
	c.server.CloseClientConnections()
	c.remove(pods, "web-1")
	eventually(t, "a pod's end", func() bool { return addresses(m) == "10.1.0.2:9100" })
	c.put(pods, "web-2", nil, pod("10.1.0.3", "Running"))
	eventually(t, "another address", func() bool { return addresses(m) == "10.1.0.3:9100" })
	if err := m.Apply(nil); err != nil || addresses(m) != "" {
		t.Errorf("%v, %s", err, addresses(m))
	}
}
