# For a shell with openssl and curl. It may be run again: it goes on with the same key.
(
set -eu
umask 077
cat > portcullis-ca.pem <<'END'
{{ROOT}}END
if [ ! -e '{{NAME}}.key' ]; then
    openssl req -new {{OPENSSL_KEY}} -nodes -subj '/CN={{SUBJECT}}' -keyout '{{NAME}}.key' -out '{{NAME}}.csr'
fi
{{SEND}}echo 'The key is in {{NAME}}.key, the certificate and its chain in {{NAME}}.crt.'
)
