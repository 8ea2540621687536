"""Lakes in object stores: addresses, requests, the lock, and the working copy that runs read and write."""
