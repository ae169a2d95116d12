// Package s3 is a bucket in an S3-compatible object store, or a prefix of one.
// It is the only package that knows the client library.
//
// The store must refuse a second put of a name that carries If-None-Match: *;
// not all do, and Check proves it. Objects over a part's size are put in parts, and completed under the same
// condition. A put carries an id in its metadata: who lost the answer to a put
// finds out by it whether the object is its own.
//
// Failures of the network and the store's 409, 429 and 5xx are tried again with
// growing pauses, up to a limit; each try has a deadline. At most
// Options.RequestsMax requests run at once, and memory is a part for each put.
//
// Names have their bytes in UTF-8, as S3 wants it. What Options.Prefix hides is
// not seen and not touched.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/nilometer/nilometer/blob"
)

// Options say where a bucket is and how it is reached; zero values are
// defaults.
type Options struct {
	// Endpoint is host or host:port; default s3.amazonaws.com.
	Endpoint string
	// Insecure speaks HTTP in place of HTTPS.
	Insecure bool
	// Region is that of the bucket; default: asked for at Amazon, us-east-1
	// elsewhere.
	Region string
	Bucket string
	// Prefix is before all names, with no slash at its ends; at most 100 bytes.
	Prefix string
	// AccessKey and SecretKey are credentials; empty: from the environment
	// (AWS_…, MINIO_…), ~/.aws/credentials, or the machine's role at Amazon.
	AccessKey, SecretKey, SessionToken string
	// Profile is the section of ~/.aws/credentials; default AWS_PROFILE.
	Profile string
	// VirtualHost puts the bucket's name into the host's, as Amazon does by
	// default; elsewhere it is in the path.
	VirtualHost bool

	// PartBytes is the size over which an object is put in parts, and of one
	// part, 5 MiB to 1 GiB; default 16 MiB.
	PartBytes int64
	// AttemptsMax bounds the tries of one request; default 8, some 20 s.
	AttemptsMax int
	// PauseMin is the pause before the second try; it doubles up to PauseMax;
	// defaults 100 ms and 5 s.
	PauseMin, PauseMax time.Duration
	// TryTimeout bounds one try without the time for its bytes; default 30 s.
	TryTimeout time.Duration
	// RequestsMax bounds the requests under way; default 16.
	RequestsMax int
	// HeadBytes is what Open reads at once: smaller objects stay in memory;
	// default 1 MiB.
	HeadBytes int64
	// Transport carries the requests; nil: the library's.
	Transport http.RoundTripper
}

const amazon = "s3.amazonaws.com"

func (o Options) withDefaults() Options {
	def := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	wait := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	if o.Endpoint == "" {
		o.Endpoint = amazon
	}
	if o.Region == "" && !o.isAmazon() {
		o.Region = "us-east-1" // else the library asks for it
	}
	def(&o.PartBytes, 16<<20)
	def(&o.HeadBytes, 1<<20)
	wait(&o.PauseMin, 100*time.Millisecond)
	wait(&o.PauseMax, 5*time.Second)
	wait(&o.TryTimeout, 30*time.Second)
	if o.AttemptsMax == 0 {
		o.AttemptsMax = 8
	}
	if o.RequestsMax == 0 {
		o.RequestsMax = 16
	}
	return o
}

func (o Options) isAmazon() bool {
	return o.Endpoint == amazon || strings.HasSuffix(o.Endpoint, ".amazonaws.com")
}

// prefixMax bounds a prefix: with a name of blob's largest size it fits S3's
// 1,024 bytes.
const prefixMax = 100

// Validate reports every setting that is out of range, or nil.
func (o Options) Validate() error {
	o = o.withDefaults()
	var problems []error
	if o.Bucket == "" {
		problems = append(problems, errors.New("the bucket has no name"))
	}
	if len(o.Prefix) > prefixMax {
		problems = append(problems, fmt.Errorf("the prefix has %d bytes, at most %d are allowed", len(o.Prefix), prefixMax))
	}
	if o.Prefix != "" {
		if err := blob.ValidateName(o.Prefix); err != nil {
			problems = append(problems, fmt.Errorf("the prefix: %w", err))
		}
	}
	if o.PartBytes < 5<<20 || o.PartBytes > 1<<30 {
		problems = append(problems, fmt.Errorf("a part has %d bytes: 5 MiB to 1 GiB are allowed", o.PartBytes))
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		problems = append(problems, errors.New("an access key and its secret come together"))
	}
	return errors.Join(problems...)
}

// Bucket is a bucket in an object store.
type Bucket struct {
	opts   Options
	client minio.Core
	slots  chan struct{} // one for each request under way
}

var _ blob.Bucket = (*Bucket)(nil)

// New returns the bucket that the options describe. It asks nobody: see Check.
func New(o Options) (*Bucket, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", o.Bucket, err)
	}
	o = o.withDefaults()
	lookup := minio.BucketLookupAuto
	if o.VirtualHost {
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.NewCore(o.Endpoint, &minio.Options{
		Creds: o.credentials(), Secure: !o.Insecure, Region: o.Region, BucketLookup: lookup, Transport: o.Transport,
		MaxRetries: 1, // the tries are ours: an answer that was lost must be looked into
	})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s at %s: %w", o.Bucket, o.Endpoint, err)
	}
	return &Bucket{opts: o, client: *client, slots: make(chan struct{}, o.RequestsMax)}, nil
}

// roleTimeout bounds the question for the machine's role: outside of Amazon
// nobody answers it.
const roleTimeout = 3 * time.Second

func (o Options) credentials() *credentials.Credentials {
	if o.AccessKey != "" {
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	}
	providers := []credentials.Provider{
		&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{Profile: o.Profile},
	}
	if o.isAmazon() {
		providers = append(providers, &credentials.IAM{Client: &http.Client{Timeout: roleTimeout}})
	}
	return credentials.NewChainCredentials(providers)
}

// key is the object's name in the store.
func (b *Bucket) key(name string) string {
	if b.opts.Prefix == "" {
		return name
	}
	return b.opts.Prefix + "/" + name
}

// Stat implements blob.Bucket.
func (b *Bucket) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := b.stat(ctx, name)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat object %s: %w", name, err)
	}
	return blob.Info{Name: name, SizeBytes: info.Size, Modified: info.LastModified}, nil
}

func (b *Bucket) stat(ctx context.Context, name string) (info minio.ObjectInfo, err error) {
	if err := blob.ValidateName(name); err != nil {
		return info, err
	}
	err = b.try(ctx, 0, func(ctx context.Context) error {
		info, err = b.client.StatObject(ctx, b.opts.Bucket, b.key(name), minio.StatObjectOptions{})
		return err
	})
	return info, err
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	err := blob.ValidateName(name)
	if err == nil {
		err = b.try(ctx, 0, func(ctx context.Context) error {
			return b.client.RemoveObject(ctx, b.opts.Bucket, b.key(name), minio.RemoveObjectOptions{})
		})
	}
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	return nil
}
