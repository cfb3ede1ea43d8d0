import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * Java's own path validation (RFC 5280 §6), as any Java relying party runs it.
 *
 * java Pkix.java crl ROOT CHAIN LISTS      every link against the lists in a file (PEM)
 * java Pkix.java ocsp ROOT CHAIN           the leaf by the responder that it names
 *
 * Prints "accepted" or "rejected: REASON".
 */
public class Pkix {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        X509Certificate root = (X509Certificate) factory.generateCertificates(open(arguments[1])).iterator().next();
        List<Certificate> chain = new ArrayList<>(factory.generateCertificates(open(arguments[2])));
        chain.remove(root);
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
        X509CertSelector leaf = new X509CertSelector();
        leaf.setExtendedKeyUsage(Set.of("1.3.6.1.5.5.7.3.2"));
        parameters.setTargetCertConstraints(leaf);
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        PKIXRevocationChecker revocation = (PKIXRevocationChecker) validator.getRevocationChecker();
        if (arguments[0].equals("crl")) {
            revocation.setOptions(EnumSet.of(PKIXRevocationChecker.Option.PREFER_CRLS, PKIXRevocationChecker.Option.NO_FALLBACK));
            CollectionCertStoreParameters lists = new CollectionCertStoreParameters(factory.generateCRLs(open(arguments[3])));
            parameters.addCertStore(CertStore.getInstance("Collection", lists));
        } else {
            revocation.setOptions(EnumSet.of(PKIXRevocationChecker.Option.ONLY_END_ENTITY, PKIXRevocationChecker.Option.NO_FALLBACK));
        }
        parameters.addCertPathChecker(revocation);
        try {
            validator.validate(factory.generateCertPath(chain), parameters);
            System.out.println("accepted");
        } catch (CertPathValidatorException refused) {
            System.out.println("rejected: " + refused.getReason() + " " + refused.getMessage() + " " + causes(refused));
        }
    }

    private static String causes(Throwable refused) {
        return refused.getCause() == null ? "" : "(" + refused.getCause() + ")";
    }

    private static ByteArrayInputStream open(String file) throws IOException {
        return new ByteArrayInputStream(Files.readAllBytes(Path.of(file)));
    }
}
