package head

// numbering finds series by the numbers of their definitions. Numbers that were
// given out together are close to one another, and so are those that a group
// asks for: pages of them are found by a map, the last one without it.
type numbering struct {
	pages map[uint64]*numberPage
	last  *numberPage
	at    uint64 // of last
}

// numberPageBits is the logarithm of a page's numbers: few enough that series
// whose neighbours are all forgotten do not cost much.
const numberPageBits = 6

// numberPage has series plus one; 0: none.
type numberPage [1 << numberPageBits]seriesID

func newNumbering() *numbering { return &numbering{pages: map[uint64]*numberPage{}, at: 1<<64 - 1} }

func (n *numbering) page(number uint64) *numberPage {
	if at := number >> numberPageBits; at != n.at || n.last == nil {
		n.at, n.last = at, n.pages[at]
	}
	return n.last
}

// of returns the series of a number.
func (n *numbering) of(number uint64) (seriesID, bool) {
	p := n.page(number)
	if p == nil {
		return noSeries, false
	}
	id := p[number%uint64(len(p))]
	return id - 1, id != 0
}

// set gives a number a series.
func (n *numbering) set(number uint64, id seriesID) {
	p := n.page(number)
	if p == nil {
		p = new(numberPage)
		n.pages[n.at], n.last = p, p
	}
	p[number%uint64(len(p))] = id + 1
}

// unset takes the series of a number away.
func (n *numbering) unset(number uint64) {
	if p := n.page(number); p != nil {
		p[number%uint64(len(p))] = 0
	}
}
