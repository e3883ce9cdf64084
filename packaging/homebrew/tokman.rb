# A template: `packaging/homebrew/fill` puts the release into it.
class Tokman < Formula
  desc "Keeps OAuth tokens for Square, Wix and other providers, and never loses a grant"
  homepage "@REPOSITORY@"
  version "@VERSION@"
  license "MIT"

  on_macos do
    on_arm do
      url "@REPOSITORY@/releases/download/v@VERSION@/tokman-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@SHA256:aarch64-apple-darwin@"
    end
    on_intel do
      url "@REPOSITORY@/releases/download/v@VERSION@/tokman-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@SHA256:x86_64-apple-darwin@"
    end
  end

  on_linux do
    on_arm do
      url "@REPOSITORY@/releases/download/v@VERSION@/tokman-@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:aarch64-unknown-linux-gnu@"
    end
    on_intel do
      url "@REPOSITORY@/releases/download/v@VERSION@/tokman-@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:x86_64-unknown-linux-gnu@"
    end
  end

  def install
    bin.install "tokman"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/tokman.bash" => "tokman"
    zsh_completion.install "completions/_tokman"
    fish_completion.install "completions/tokman.fish"
    doc.install "docs", "SECURITY.md"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/tokman --version")
    system bin/"tokman", "emulator", "--demo"
  end
end
