# For a shell with Java's keytool and curl. It may be run again: it goes on with the same key.
(
set -eu
umask 077
cat > portcullis-ca.pem <<'END'
{{ROOT}}END
keystore() {
    command=$1
    shift
    keytool "$command" -keystore '{{NAME}}.p12' -storetype PKCS12 -storepass:file '{{NAME}}.p12.password' "$@"
}
if [ ! -e '{{NAME}}.p12' ]; then
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > '{{NAME}}.p12.password'
    keystore -genkeypair -alias '{{ALIAS}}' {{KEYTOOL_KEY}} -dname 'CN={{SUBJECT}}'
    keystore -importcert -noprompt -alias portcullis-root -file portcullis-ca.pem
fi
# Until the certificate is there, the key has one that it signed itself.
if [ "$(keystore -list -rfc -alias '{{ALIAS}}' | grep -c 'BEGIN CERTIFICATE')" = 1 ]; then
keystore -certreq -alias '{{ALIAS}}' -file '{{NAME}}.csr'
{{SEND}}keystore -importcert -noprompt -alias '{{ALIAS}}' -file '{{NAME}}.crt'
fi
echo 'The key and the certificate are in {{NAME}}.p12, its password is in {{NAME}}.p12.password.'
)
