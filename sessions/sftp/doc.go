// Package sftp owns the file transfer protocol of SSH, version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions,
// as a server on a pair of pipes. It runs inside a session as the session's user, so that who may do what to which file
// is for the kernel to say: it has no rules of its own, no log-in, and knows nothing of SSH nor of the appliance.
//
// It is linked into the first process of every container and stays small for that: no library that brings half of SSH
// along.
package sftp
