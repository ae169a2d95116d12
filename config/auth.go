package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
	commonconfig "github.com/prometheus/common/config"
)

// SigV4 signs requests for AWS.
type SigV4 struct {
	Region             string              `yaml:"region"`
	AccessKey          string              `yaml:"access_key"`
	SecretKey          commonconfig.Secret `yaml:"secret_key"`
	Profile            string              `yaml:"profile"`
	RoleARN            string              `yaml:"role_arn"`
	ExternalID         string              `yaml:"external_id"`
	SessionName        string              `yaml:"session_name"`
	Tags               map[string]string   `yaml:"tags"`
	UseFIPSSTSEndpoint bool                `yaml:"use_fips_sts_endpoint"`
	ServiceName        string              `yaml:"service_name"`
}

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

func (c *SigV4) check(path string, report func(path, text string)) {
	if (c.AccessKey == "") != (c.SecretKey == "") {
		report(path, "access_key and secret_key go together")
	}
	if c.RoleARN == "" && (c.ExternalID != "" || c.SessionName != "" || len(c.Tags) > 0) {
		report(path, "external_id, session_name and tags need a role_arn")
	}
	if c.SessionName != "" && !sessionName.MatchString(c.SessionName) {
		report(path+".session_name", fmt.Sprintf("%q does not match %s", c.SessionName, sessionName))
	}
	for k, v := range c.Tags {
		if k == "" || len(k) > 128 || len(v) > 256 {
			report(path+".tags", fmt.Sprintf("%q: keys have 1 to 128 bytes, values at most 256", k))
		}
	}
}

// GoogleIAM names the credentials for Google's cloud.
type GoogleIAM struct {
	CredentialsFile string `yaml:"credentials_file"`
}

// AzureAD says how to authenticate with Azure: in exactly one way.
type AzureAD struct {
	ManagedIdentity *struct {
		ClientID string `yaml:"client_id"`
	} `yaml:"managed_identity"`
	WorkloadIdentity *struct {
		ClientID      string `yaml:"client_id"`
		TenantID      string `yaml:"tenant_id"`
		TokenFilePath string `yaml:"token_file_path"`
	} `yaml:"workload_identity"`
	OAuth *struct {
		ClientID     string              `yaml:"client_id"`
		ClientSecret commonconfig.Secret `yaml:"client_secret"`
		TenantID     string              `yaml:"tenant_id"`
	} `yaml:"oauth"`
	SDK *struct {
		TenantID string `yaml:"tenant_id"`
	} `yaml:"sdk"`
	Certificate *struct {
		ClientID             string              `yaml:"client_id"`
		TenantID             string              `yaml:"tenant_id"`
		CertificatePath      string              `yaml:"certificate_path"`
		CertificateKeyPath   string              `yaml:"certificate_key_path"`
		CertificatePassword  commonconfig.Secret `yaml:"certificate_password"`
		SendCertificateChain bool                `yaml:"send_certificate_chain"`
	} `yaml:"certificate"`
	Cloud string `yaml:"cloud"`
	Scope string `yaml:"scope"`
}

var azureScope = regexp.MustCompile(`^[\w\s:/.\-]+$`)

func (c *AzureAD) check(path string, report func(path, text string)) {
	if c.Cloud != "" && !slices.Contains([]string{"AzurePublic", "AzureGovernment", "AzureChina"}, c.Cloud) {
		report(path+".cloud", fmt.Sprintf("%q is none of AzurePublic, AzureGovernment, AzureChina", c.Cloud))
	}
	if c.Scope != "" && !azureScope.MatchString(c.Scope) {
		report(path+".scope", "has characters that a scope does not have")
	}
	ways := 0
	need := func(section, key, value string) {
		if value == "" {
			report(path+"."+section+"."+key, "is missing")
		}
	}
	id := func(section, key, value string) {
		if _, err := uuid.Parse(value); value != "" && err != nil {
			report(path+"."+section+"."+key, fmt.Sprintf("%q is no UUID", value))
		}
	}
	if w := c.ManagedIdentity; w != nil {
		ways++
		id("managed_identity", "client_id", w.ClientID)
	}
	if w := c.WorkloadIdentity; w != nil {
		ways++
		need("workload_identity", "client_id", w.ClientID)
		need("workload_identity", "tenant_id", w.TenantID)
		id("workload_identity", "client_id", w.ClientID)
		id("workload_identity", "tenant_id", w.TenantID)
	}
	if w := c.OAuth; w != nil {
		ways++
		need("oauth", "client_id", w.ClientID)
		need("oauth", "client_secret", string(w.ClientSecret))
		need("oauth", "tenant_id", w.TenantID)
		id("oauth", "client_id", w.ClientID)
	}
	if c.SDK != nil {
		ways++
	}
	if w := c.Certificate; w != nil {
		ways++
		need("certificate", "client_id", w.ClientID)
		need("certificate", "tenant_id", w.TenantID)
		need("certificate", "certificate_path", w.CertificatePath)
		id("certificate", "client_id", w.ClientID)
	}
	if ways != 1 {
		report(path, fmt.Sprintf("has %d of managed_identity, workload_identity, oauth, sdk and certificate, needs one", ways))
	}
}

// authentications are the ways that an HTTP client's keys name.
func authentications(c commonconfig.HTTPClientConfig) (ways []string) {
	if c.BasicAuth != nil {
		ways = append(ways, "basic_auth")
	}
	if c.Authorization != nil {
		ways = append(ways, "authorization")
	}
	if c.OAuth2 != nil {
		ways = append(ways, "oauth2")
	}
	return ways
}

func checkOneWay(path string, ways []string, report func(path, text string)) {
	if len(ways) > 1 {
		report(path, "only one way to authenticate may be named, here are "+strings.Join(ways, ", "))
	}
}

// reservedHeaders are set by who sends.
var reservedHeaders = [...]string{
	"host", "content-encoding", "content-length", "content-type", "user-agent", "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
	"www-authenticate", "accept-encoding", "x-prometheus-remote-write-version", "x-prometheus-remote-read-version",
	"x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
}

func checkHeaders(path string, headers map[string]string, report func(path, text string)) {
	for name := range headers {
		switch lower := strings.ToLower(name); {
		case lower == "authorization":
			report(path+".headers", "Authorization is set by the keys of authentication")
		case slices.Contains(reservedHeaders[:], lower):
			report(path+".headers", name+" is set by the sender")
		}
	}
}
