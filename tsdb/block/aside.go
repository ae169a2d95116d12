package block

import (
	"errors"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/part"
)

// SetAside returns a block that stands for one whose index is damaged, with
// the error that OpenAs gave: everything asked of it is answered with the
// damage, so that a query over its range says what it lacks, and all other
// blocks are served.
func SetAside(tenantID tenant.ID, meta Meta, damage *part.DamageError) *Block {
	b := newBlock(tenantID, meta, nil)
	b.broken = damage
	return b
}

// Damage is what a block was set aside for, nil when it can be read.
func (b *Block) Damage() error { return b.broken }

// damageOf turns an error of the index, met by a question about labels, into
// damage of the block. Errors of contexts stay what they are.
func (b *Block) damageOf(err, ctxErr error) error {
	if err == nil || ctxErr != nil && errors.Is(err, ctxErr) {
		return err
	}
	var already *part.DamageError
	if errors.As(err, &already) {
		return err
	}
	return b.indexDamage(err)
}
