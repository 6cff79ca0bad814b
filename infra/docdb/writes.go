package main

import (
	"hash/maphash"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/bson"
)

// FerretDB reads a document, changes it, and writes it back: of two changes at once the first would be
// lost. So writes to a document that is named by its _id are done one after the other. Those by other
// fields aren't: MongoDB, too, fails the second of two upserts that both found nothing.
var (
	documents [256]sync.Mutex
	seed      = maphash.MakeSeed()
)

// How many requests FerretDB does at once: each may need two connections to PostgreSQL, and one that
// waits for its second would wait forever if all are first ones.
var slots = make(chan struct{}, 80)

// lock waits until nobody else writes to the documents that the request writes to.
func (r *request) lock() (unlock func()) {
	var places []int
	for _, filter := range r.filters() {
		id := filter.Lookup("_id")
		if id.IsZero() {
			continue
		}
		var hash maphash.Hash
		hash.SetSeed(seed)
		hash.WriteString(r.db + "\x00" + r.collection() + "\x00")
		hash.Write(id.Value)
		places = append(places, int(hash.Sum64()%uint64(len(documents))))
	}
	// In one order for all, each once.
	slices.Sort(places)
	places = slices.Compact(places)
	for _, place := range places {
		documents[place].Lock()
	}
	return func() {
		for _, place := range places {
			documents[place].Unlock()
		}
	}
}

func (r *request) collection() string {
	name, _ := r.body.Lookup(r.command).StringValueOK()
	return name
}

// filters are the filters of a request that changes what it finds.
func (r *request) filters() []bson.Raw {
	list := map[string]string{"update": "updates", "delete": "deletes"}[r.command]
	writes, name := r.sections[list], "q"
	switch r.command {
	case "findAndModify", "findandmodify":
		writes, name = []bson.Raw{r.body}, "query"
	case "update", "delete":
		if array, ok := r.body.Lookup(list).ArrayOK(); ok {
			values, _ := array.Values()
			for _, value := range values {
				if write, ok := value.DocumentOK(); ok {
					writes = append(writes, write)
				}
			}
		}
	}
	var filters []bson.Raw
	for _, write := range writes {
		if filter, ok := write.Lookup(name).DocumentOK(); ok {
			filters = append(filters, filter)
		}
	}
	return filters
}
