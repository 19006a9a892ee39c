#!/bin/sh
# Makes all secrets of compose.yaml in the folder `secrets` beside this file (or the one named): a CA and certificates,
# passwords, Kibana's keys, the collector's token. Needs openssl 3. What is there stays; delete a file to have it made
# anew (and all of *.crt and *.key for another CA). Nothing is printed but the names of what was made.
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/secrets}
roles=$here/../elasticsearch/roles
days=825

command -v openssl >/dev/null || { echo "secrets.sh needs openssl 3 or newer." >&2; exit 1; }
openssl kdf -keylen 8 -kdfopt digest:SHA512 -kdfopt pass:x -kdfopt salt:x -kdfopt iter:1 PBKDF2 >/dev/null 2>&1 || {
    echo "secrets.sh needs openssl 3 or newer; this is $(openssl version)." >&2
    exit 1
}
# Containers read single files of it as users of their own, so the files are open and the folder is not.
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

made() {
    chmod 644 "$@"
    echo "made $*"
}

random() { openssl rand -base64 48 | tr -dc 'A-Za-z0-9' | cut -c1-40; }

# A password as Elasticsearch's file realm keeps it: {PBKDF2}<iterations>$<salt>$<hash>, SHA-512, 32 bytes each.
hashed() {
    salt=$(openssl rand -hex 16)
    hash=$(openssl kdf -keylen 32 -kdfopt digest:SHA512 -kdfopt "pass:$(cat "$1")" -kdfopt "salt:$salt" \
        -kdfopt iter:10000 -binary PBKDF2 | openssl base64 -A)
    printf '{PBKDF2}10000$%s$%s' "$(printf '%s' "$salt" | openssl base64 -A)" "$hash"
}

certificate() {
    [ -e "$1.crt" ] && return
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" \
        -subj "/CN=$1" 2>/dev/null
    # All that RFC 5280 asks for: Python 3.13 and later check it (VERIFY_X509_STRICT).
    cat >"$1.ext" <<END
subjectAltName=DNS:$1,DNS:localhost,IP:127.0.0.1
extendedKeyUsage=serverAuth,clientAuth
keyUsage=critical,digitalSignature
basicConstraints=critical,CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
END
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -extfile "$1.ext" \
        -out "$1.crt" 2>/dev/null
    rm "$1.csr" "$1.ext"
    made "$1.crt" "$1.key"
}

if [ ! -e ca.crt ]; then
    openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt \
        -days 3650 -subj "/CN=celeryscope CA" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
    chmod 644 ca.crt
    echo "made ca.crt ca.key"
fi
for service in elasticsearch kibana collector; do certificate "$service"; done

names=""
for role in "$roles"/*.json; do names="$names $(basename "$role" .json)"; done
for name in admin kibana_service $names; do
    [ -e "$name.password" ] && continue
    random >"$name.password"
    made "$name.password"
    rm -f users service_tokens kibana.yml
done

# Elasticsearch's file realm: a user of each role, called like it, and `admin`, who may do everything.
: >roles.yml
echo superuser:admin >users_roles
for name in $names; do
    printf '%s: %s\n' "$name" "$(tr -d '\n' <"$roles/$name.json")" >>roles.yml
    echo "$name:$name" >>users_roles
done
chmod 644 roles.yml users_roles
if [ ! -e users ]; then
    for name in admin $names; do echo "$name:$(hashed "$name.password")"; done >users.new
    mv users.new users
    made users
fi

# Kibana's own account is a service token: its secret in kibana.yml, the hash with Elasticsearch.
if [ ! -e service_tokens ]; then
    echo "elastic/kibana/compose:$(hashed kibana_service.password)" >service_tokens
    made service_tokens
    rm -f kibana.yml
fi
if [ ! -e kibana.yml ]; then
    token=$(printf '\000\001\000\001elastic/kibana/compose:%s' "$(cat kibana_service.password)" | openssl base64 -A)
    cat >kibana.yml <<END
server.host: 0.0.0.0
server.publicBaseUrl: https://localhost:5601
server.ssl.enabled: true
server.ssl.certificate: /usr/share/kibana/config/tls/kibana.crt
server.ssl.key: /usr/share/kibana/config/tls/kibana.key
elasticsearch.hosts: ["https://elasticsearch:9200"]
elasticsearch.serviceAccountToken: "$token"
elasticsearch.ssl.certificateAuthorities: [/usr/share/kibana/config/tls/ca.crt]
xpack.encryptedSavedObjects.encryptionKey: "$(random)"
xpack.security.encryptionKey: "$(random)"
xpack.reporting.encryptionKey: "$(random)"
telemetry.optIn: false
END
    made kibana.yml
fi

# The collector knows the hash of a sender's token only.
if [ ! -e shop.token ]; then
    printf 'csc_%s' "$(random)" >shop.token
    printf 'tokens:\n- tenant: default\n  sha256: %s\n' "$(openssl dgst -sha256 -r shop.token | cut -d' ' -f1)" >tokens.yaml
    made shop.token tokens.yaml
fi
