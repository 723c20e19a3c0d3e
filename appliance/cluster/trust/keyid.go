package trust

import (
	"crypto/x509"
	"fmt"
)

// KeyID is the id of this box's key, as it is shown to who approves of it.
func (n *Node) KeyID() (string, error) {
	der, err := x509.MarshalPKIXPublicKey(n.held.Load().private.Public())
	if err != nil {
		return "", fmt.Errorf("this box's key: %w", err)
	}
	return publicID(der), nil
}
