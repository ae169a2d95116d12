package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/nilometer/nilometer/blob"
)

// ParseURL reads s3://[key:secret@]bucket[/prefix][?parameters]. Parameters are
// endpoint (host:port, or a URL, whose scheme says whether it is HTTPS), region,
// profile and virtual_host (true or false). What the URL does not say comes from
// the environment, which getenv reads: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL,
// AWS_REGION, AWS_DEFAULT_REGION.
func ParseURL(text string, getenv func(string) string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Options{}, errors.New("it is no URL: write it like s3://bucket/path") // the error would show the secret
	}
	if u.Scheme != "s3" || u.Host == "" || u.Fragment != "" {
		return Options{}, errors.New("write it like s3://bucket/path")
	}
	o := Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), AccessKey: u.User.Username()}
	o.SecretKey, _ = u.User.Password()
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Options{}, fmt.Errorf("its parameters: %w", err)
	}
	endpoint := first(getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL"))
	o.Region = first(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"))
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "endpoint":
			endpoint = value
		case "region":
			o.Region = value
		case "profile":
			o.Profile = value
		case "virtual_host":
			if o.VirtualHost, err = strconv.ParseBool(value); err != nil {
				return Options{}, fmt.Errorf("virtual_host=%s: true and false are known", value)
			}
		default:
			return Options{}, fmt.Errorf("the parameter %q is not known: endpoint, region, profile and virtual_host are", name)
		}
	}
	host, insecure := strings.CutPrefix(endpoint, "http://")
	o.Endpoint, o.Insecure = strings.TrimRight(strings.TrimPrefix(host, "https://"), "/"), insecure
	if strings.Contains(o.Endpoint, "/") {
		return Options{}, fmt.Errorf("endpoint=%s: it is host:port, without a path", endpoint)
	}
	return o, o.Validate()
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Check proves that the bucket can be reached and written to, and that the
// store refuses a second put of a name: without that, nothing that stands on
// blob.I1 is safe. It leaves nothing behind.
func (b *Bucket) Check(ctx context.Context) error {
	name := "check/" + rand.Text()
	put := func(text string) error { return b.PutIfAbsent(ctx, name, strings.NewReader(text), int64(len(text))) }
	if err := put("first"); err != nil {
		return fmt.Errorf("check bucket %s: %w", b.opts.Bucket, err)
	}
	err := put("second")
	if deleted := b.Delete(context.WithoutCancel(ctx), name); deleted != nil && err != nil {
		err = errors.Join(err, deleted)
	}
	switch {
	case errors.Is(err, blob.ErrExists):
		return nil
	case err == nil:
		return fmt.Errorf("check bucket %s: the store at %s puts an object twice: it does not know If-None-Match, upgrade it or use another one", b.opts.Bucket, b.opts.Endpoint)
	}
	return fmt.Errorf("check bucket %s: %w", b.opts.Bucket, err)
}
