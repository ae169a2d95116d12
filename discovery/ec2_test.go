//go:build all_sd

package discovery_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

const ec2Instance = `<item><instanceId>%s</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>
<privateDnsName>ip.internal</privateDnsName><instanceType>t3.small</instanceType><placement><availabilityZone>eu-west-1a</availabilityZone></placement>
<privateIpAddress>%s</privateIpAddress><vpcId>vpc-1</vpcId><subnetId>subnet-1</subnetId><architecture>x86_64</architecture>
<tagSet><item><key>Name</key><value>web</value></item></tagSet></item>`

// TestEC2 reads the pages of an API that answers as EC2 does; an answer that
// refuses is a problem and changes nothing.
func TestEC2(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "") // only the library's own HTTP client takes one
	var more, refuse atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIATEST/") || refuse.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `<Response><Errors><Error><Code>AuthFailure</Code><Message>not with these credentials</Message></Error></Errors><RequestID>r</RequestID></Response>`)
			return
		}
		const namespace = `xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"`
		switch action := r.Form.Get("Action"); action {
		case "DescribeAvailabilityZones":
			fmt.Fprintf(w, `<%sResponse %s><availabilityZoneInfo><item><zoneName>eu-west-1a</zoneName><zoneId>euw1-az2</zoneId></item></availabilityZoneInfo></%sResponse>`, action, namespace, action)
		case "DescribeInstances":
			instance, next := fmt.Sprintf(ec2Instance, "i-1", "10.0.0.1"), ""
			if more.Load() {
				next = "<nextToken>page2</nextToken>"
			}
			if r.Form.Get("NextToken") == "page2" {
				instance, next = fmt.Sprintf(ec2Instance, "i-2", "10.0.0.2"), ""
			}
			fmt.Fprintf(w, `<%sResponse %s><requestId>r</requestId><reservationSet><item><reservationId>r-1</reservationId><ownerId>42</ownerId><instancesSet>%s</instancesSet></item></reservationSet>%s</%sResponse>`,
				action, namespace, instance, next, action)
		default:
			http.Error(w, action, http.StatusBadRequest)
		}
	}))
	t.Cleanup(srv.Close)
	m := start(t)
	apply(t, m, "ec2_sd_configs", "endpoint: "+srv.URL+"\nregion: eu-west-1\naccess_key: AKIATEST\nsecret_key: secret\nport: 9100\nrefresh_interval: 100ms")
	eventually(t, "an instance", func() bool { return addresses(m) == "10.0.0.1:9100" })
	for name, want := range map[string]string{
		"__meta_ec2_instance_id": "i-1", "__meta_ec2_tag_Name": "web", "__meta_ec2_owner_id": "42", "__meta_ec2_availability_zone_id": "euw1-az2",
		"__meta_ec2_region": "eu-west-1", "__meta_ec2_instance_state": "running",
	} {
		if got := value(t, m, "10.0.0.1:9100", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	more.Store(true)
	eventually(t, "the second page", func() bool { return addresses(m) == "10.0.0.1:9100 10.0.0.2:9100" })
	refuse.Store(true)
	eventually(t, "a problem", func() bool { return len(m.Problems()) == 1 })
	if p := m.Problems()[0]; p.Source != "ec2_sd_configs" || !strings.Contains(p.Text, "AuthFailure") || addresses(m) != "10.0.0.1:9100 10.0.0.2:9100" {
		t.Errorf("%+v, %s", p, addresses(m))
	}
	refuse.Store(false)
	more.Store(false)
	eventually(t, "one instance, no problem", func() bool { return addresses(m) == "10.0.0.1:9100" && len(m.Problems()) == 0 })
}
