package trust

// forShared is what all boxes have to know, such as how the database is reached.
const forShared = "palisade: what the boxes of a cluster share"

// Seal encrypts what approved nodes alone are to read.
func (k ClusterKey) Seal(content []byte) ([]byte, error) {
	return seal(k.identity.Recipient(), forShared, content)
}

// Unseal opens what Seal has made with the same key.
func (k ClusterKey) Unseal(sealed []byte) ([]byte, error) { return k.open(forShared, sealed) }
