package storage

import "context"

type essentialKey struct{}

// Essential returns a context for reads that alerting depends on. When memory
// is short, other reads are refused (ErrOverloaded), and these go on.
func Essential(ctx context.Context) context.Context {
	return context.WithValue(ctx, essentialKey{}, true)
}

// IsEssential tells whether the reads of ctx are those of Essential.
func IsEssential(ctx context.Context) bool {
	is, _ := ctx.Value(essentialKey{}).(bool)
	return is
}
